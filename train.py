"""Train an agent in stages, evaluate it against the planners, and report: ``python train.py [name]``.

    python train.py                              # bls, the paper's default setting: five minutes on two cores
    python train.py any-library --out runs/any
    python train.py bls --scenario.n-users 40 120 --scenario.deadline 0.5 --imitation.rounds 20
    python train.py --resume                     # go on after a kill
    python train.py --help                       # the names; python train.py bls --help: all arguments of one

It is ``python -m agents train``, which needs no checkout; `agents.train_command` does the work.
"""

from __future__ import annotations

import sys

from agents.console import train
from pl_env.command_line import exit_code

if __name__ == "__main__":
    sys.exit(exit_code(lambda: train(sys.argv[1:], "train.py")))
