"""Look for disagreements: ``python -m tests.fuzz --minutes 10``. What is compared is in docs/trust.md."""

from __future__ import annotations

import argparse
import secrets
import sys

from tests.fuzz.running import PARTS, Tally, play_for, play_round


def main(arguments: list[str] | None = None) -> int:
    """Run the parts one after the other; the exit code is 1 where anything failed."""
    options = _parsed(arguments)
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    failures = 0
    for part in options.only:
        without = frozenset(options.without)
        if options.round is not None:
            tally = Tally(without)
            play_round(part, seed, options.round, tally)
        else:
            tally = play_for(part, seed, options.minutes * 60 / len(options.only), options.workers, without)
        _report(part, tally)
        failures += len(tally.failures)
    print(f"{failures} failures, seed {seed}")
    return min(failures, 1)


def _parsed(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="minutes in all, shared equally by the parts")
    parser.add_argument("--seed", type=int, help="seed; drawn, and printed, unless given")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="only these parts")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--without", nargs="+", default=(), metavar="KIND", help="leave out these kinds of cases")
    parser.add_argument("--round", type=int, help="only this round, in this process: repeats a failure")
    return parser.parse_args(arguments)


def _report(part: str, tally: Tally) -> None:
    print(f"{part}: {len(tally.failures)} failures", flush=True)
    for kind, n in sorted(tally.counts.items()):
        print(f"    {n:>12,}  {kind}")
    for failure in tally.failures:
        print(f"  FAILED {failure}")


if __name__ == "__main__":
    sys.exit(main())
