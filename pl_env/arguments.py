"""What is handed to `reset` and `step` of an environment, checked: one sentence for each mistake, in every system."""

from __future__ import annotations

import operator
from typing import Any, TypeVar

from pl_env.errors import InvalidAction, shown
from pl_env.ranges import require

InstanceT = TypeVar("InstanceT")


def given_instance(options: dict[str, Any] | None, kind: type[InstanceT]) -> InstanceT | None:
    """The instance to replay, from the options of `reset`; None where one is to be drawn.

    Raises:
        InvalidValue: The options are no dict or hold something else, or the instance is not one of this system.
    """
    known = options is None or (isinstance(options, dict) and set(options) <= {"instance"})
    require(known, "options", options, 'None or {"instance": an Instance}')
    instance = (options or {}).get("instance")
    good = instance is None or isinstance(instance, kind)
    require(good, "options['instance']", instance, f"an Instance of {kind.__module__.rsplit('.', 1)[0]}")
    return instance


def action_index(action: object, n_actions: int) -> int:
    """An action of `Discrete(n_actions)` as an int.

    One outside the space is a mistake of whoever chose it, which an episode that merely ended would hide.

    Raises:
        InvalidAction: It is no integer, or not one of the space.
    """
    try:
        index = operator.index(action)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidAction(f"action is {shown(action)}; it must be an integer") from None
    if not 0 <= index < n_actions:
        raise InvalidAction(f"action is {shown(index)}; it must be from 0 to {n_actions - 1}")
    return index
