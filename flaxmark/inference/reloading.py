"""Objects that are pickled as their arguments, and loaded again where they are used."""

import functools
import os
import pickle
from typing import Any


class Reloading:
    """Base of classes whose `__init__` loads a file: its arguments, in `_settings`, are what is pickled.

    An unpickled object loads the file when it is first used. In each process it is one object, so that a pool that
    pickles it with every task loads it once.
    """

    _settings: dict[str, Any]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the arguments, and files by their whole path."""
        settings = {name: _whole_path(value) for name, value in self._settings.items()}
        return _unpickled, (type(self), pickle.dumps(settings))

    def __getattr__(self, name: str) -> Any:
        """Load what has been unpickled."""
        if name.startswith("__") or self.__dict__.keys() != {"_settings"}:
            raise AttributeError(f"{type(self).__name__} has no attribute {name}")
        self.__init__(**self._settings)  # type: ignore[misc]
        return getattr(self, name)


def _whole_path(value: Any) -> Any:
    return os.path.abspath(value) if isinstance(value, str | os.PathLike) and os.path.exists(value) else value


@functools.lru_cache(maxsize=4)
def _unpickled(kind: type[Reloading], settings: bytes) -> Reloading:
    unpickled = kind.__new__(kind)
    unpickled._settings = pickle.loads(settings)
    return unpickled
