"""The state of N episodes: all arrays that the kernels read and write, each with its type and its axes.

A single environment is N = 1. Times are nanoseconds unless their name says otherwise.

| axis    | length                                                                                                   |
|---------|----------------------------------------------------------------------------------------------------------|
| N       | episodes                                                                                                 |
| L       | libraries, to which the episodes' ``library`` points; 1 where all play with one                          |
| I       | models                                                                                                   |
| J       | parameter blocks, of the library that has most                                                           |
| b_cap   | largest batch of the action space                                                                        |
| A       | actions, I · b_cap                                                                                       |
| K       | users of the episode that has most                                                                       |
| N or 1  | N; or one row, scratch, where nobody asks for an episode's users after it has begun                      |
| N or 0  | N; or none, where uniform numbers are given                                                              |
| draws   | rows of the uniform numbers: 1 with generators, else N                                                   |
| uniform | length of such a row: 3 · K with generators, which place users too, else K                               |
| kept    | K where the whole schedule is kept, else 0; of the history then only the last batch, "kept or 1"         |
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pl_env.low_level import array_reader

Ints = NDArray[np.int64]
SmallInts = NDArray[np.int32]
Floats = NDArray[np.float64]
SingleFloats = NDArray[np.float32]
Bools = NDArray[np.bool_]
Cells = NDArray[Any]
"""int32 where no deadline is above `LONGEST_SMALL_NS`, as half as much is read and written, else int64."""

LONGEST_SMALL_NS = 2**30 - 2
"""The sum of two times that are just past such a deadline is still an int32."""


class EpisodeArrays(NamedTuple):
    """The arrays of N episodes."""

    # What episodes are drawn from.
    radio: Annotated[Floats, "3"]  # radius in metres, P / N0, alpha
    request_cumulative: Annotated[Floats, "I"]  # cumulative request probabilities
    generators: Annotated[Ints, "N or 0", "2"]  # of `generator_addresses`
    uniforms: Annotated[Floats, "draws", "uniform"]  # scratch with generators, else given, by user

    # Libraries.
    load_ns: Annotated[Ints, "L", "I + 1", "I"]  # row = resident model, last row = empty GPU
    per_sample: Annotated[Ints, "L", "I"]
    per_batch: Annotated[Ints, "L", "I"]
    max_batch: Annotated[Ints, "L", "I"]
    load_cells: Annotated[Cells, "L", "I + 1", "A"]  # ``load_ns`` by action; int32 is cut off past any deadline
    blocks: Annotated[SingleFloats, "L", "I + 1", "J"]  # 1 for each block of the resident model

    # What stays as it is in an episode.
    library: Annotated[Ints, "N"]  # its row in the libraries
    deadline_ns: Annotated[Ints, "N"]
    slot_ns: Annotated[Ints, "N"]
    redraws: Annotated[Bools, "N"]  # whether channels are drawn anew before every batch
    unit_upload_ns: Annotated[Floats, "N"]  # D / B
    n_users: Annotated[Ints, "N"]
    requested_model: Annotated[Ints, "N or 1", "K"]  # by user
    mean_snr: Annotated[Floats, "N or 1", "K"]  # by user
    first_user: Annotated[SmallInts, "N", "I + 1"]  # where each model's users begin in the next three

    # Where it stands. Users stand by model, then by upload time.
    users: Annotated[SmallInts, "N or 1", "K"]
    sorted_upload: Annotated[Ints, "N", "K"]
    next_user: Annotated[SmallInts, "N", "I"]  # each model's cheapest pending user
    upload_ns: Annotated[Ints, "1", "K"]  # scratch: by user, of the episode that was begun or drawn anew last
    state: Annotated[Ints, "N", "entries"]  # see `dynamics`
    any_legal: Annotated[Bools, "N"]
    unloaded_ns: Annotated[Cells, "N", "A"]  # upload and compute of each action; past the deadline if there is none

    # What has happened.
    history: Annotated[Ints, "N", "kept or 1", "columns"]  # see `dynamics`
    served_users: Annotated[Ints, "N", "kept"]
    served_upload: Annotated[Ints, "N", "kept"]
    numbers: Annotated[Floats, "numbers", "N"]  # of the last step, as are the next two; see `stepping`
    counts: Annotated[Ints, "counts", "N"]
    flags: Annotated[Bools, "flags", "N"]

    # The observation.
    budget: Annotated[SingleFloats, "N", "1"]
    resident: Annotated[SingleFloats, "N", "J"]
    load_time: Annotated[SingleFloats, "N", "I"]
    pending: Annotated[SingleFloats, "N", "I"]
    upload_time: Annotated[SingleFloats, "N", "I", "b_cap"]
    batch_time: Annotated[SingleFloats, "N", "I", "b_cap"]
    mask: Annotated[NDArray[np.int8], "N", "A"]  # all ones where no action is legal


OBSERVATION = ("budget", "resident", "load_time", "pending", "upload_time", "batch_time")

episodes_at = array_reader(EpisodeArrays)
