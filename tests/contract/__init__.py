"""What every system must do, held against every row of `pl_env.systems.SYSTEMS`.

A system brings ``tests/contract/<system>.py``, what a test must know of it: ``tiny()``, an instance of preset "tiny"
and its optimum, worked by hand; ``instances(rng)``, tiny ones of every kind; ``brute_force(instance)``, the best
objective, by code that shares nothing with the library; ``EXACT``, its exact solvers; ``environment(instance)``,
which replays it; and ``FREE`` where some solvers make plans that an environment's rules do not allow.
"""
