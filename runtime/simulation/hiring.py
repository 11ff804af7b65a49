"""Who does the jobs of a simulation: its own thread, or processes."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tierwise.core.errors import ConfigurationError
from tierwise.core.ids import DeviceId
from tierwise.core.learning import StopToken
from tierwise.core.task import Task
from tierwise.core.work import UpdateNamer, content_name
from tierwise.plugins.manager import Plugins
from tierwise.runtime.codecs import Codecs
from tierwise.runtime.learners import Learners
from tierwise.runtime.processes import processors
from tierwise.runtime.simulation.fleet import DeviceSpec
from tierwise.runtime.simulation.in_processes import in_processes
from tierwise.runtime.simulation.workers import InThread, Workers


@contextmanager
def hire(
    workers: int | None,
    devices: Mapping[DeviceId, DeviceSpec],
    task: Task,
    plugins: Plugins,
    stop: StopToken,
    name: UpdateNamer = content_name,
) -> Iterator[Workers]:
    """Have workers as long as the context lasts.

    Parameters
    ----------
    workers
        How many; None for as many as there are processors. There are never more than devices.
    devices, task, plugins
        Whose jobs they do, and what learners are made from.
    stop
        Ends them when told to.
    name
        Names updates.

    Raises
    ------
    ConfigurationError
        If there are less than 1, or not enough memory to be shared with them.
    """
    if workers is not None and workers < 1:
        raise ConfigurationError(
            f"{workers} workers cannot do anything: 1 is this thread, more are processes, None is one for each "
            "processor",
            key="workers",
        )
    count = min(processors() if workers is None else workers, len(devices))
    data = {name: spec.data.divided(task.scale) for name, spec in devices.items()}
    if count <= 1:
        yield InThread(data, Learners(plugins, task), Codecs(plugins).of, stop, name)
        return
    with in_processes(count, data, task, plugins, stop, name) as hired:
        del data  # the processes have it in shared memory
        yield hired
