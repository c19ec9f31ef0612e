"""Which random numbers are used for what. Nothing is trained or tuned on the evaluation's.

Every generator is seeded with a tuple that begins with the number of its stream, such as (EVALUATION_STREAM, seed,
episode). NumPy maps different tuples to different numbers unless they differ by zeros at the end alone: (7, 0, 0) is
the plain seed 7, so an environment that is reset with seed 7 plays the first evaluation episode of seed 0.

| stream | what draws from it                                                        |
|--------|---------------------------------------------------------------------------|
| 7      | the episodes of `agents.evaluate`                                         |
| 11     | the paper's experiments (`experiments/`)                                  |
| 13     | the benchmark sets (`experiments/`)                                       |
| 17     | training: episodes, exploration, minibatches of (seed, round)             |
| 19     | validation: what hyperparameters were chosen on, and the learning curves  |
| 23     | schedules sampled by `agents.BestOf` and `agents.Rollout`                 |
| 29     | the random policy of `agents.evaluate`                                    |
| 31     | channels that `baselines.Lookahead` imagines                              |
| 37     | futures that Slide's `rollout` imagines, when it is solver                |
"""

from __future__ import annotations

import numpy as np

EVALUATION_STREAM = 7
TRAINING_STREAM = 17
VALIDATION_STREAM = 19
DECODING_STREAM = 23
RANDOM_POLICY_STREAM = 29
ROLLOUT_STREAM = 37


def small_seed(*entropy: int) -> int:
    """A seed in [0, 2³¹) for generators that take no tuples: torch's, stable-baselines3's, an environment's."""
    return int(np.random.SeedSequence(entropy).generate_state(1)[0]) % 2**31
