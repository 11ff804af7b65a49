"""What the coordinator's machine is told before it starts."""

import msgspec

from tierwise.core.grouping import MINIMUM
from tierwise.core.learning import FitBudget
from tierwise.core.task import Task
from tierwise.core.tiers import RoundLimits


class EnrolmentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When enrolment ends and groups are formed: at ``min_devices`` or after ``window_s``, whichever is first.

    Attributes
    ----------
    min_devices
        Devices that have reported their hardware; None leaves it to the window.
    window_s
        Seconds from the federation's opening; None leaves it to the number.
    """

    min_devices: int | None = None
    window_s: float | None = 60.0

    def __post_init__(self) -> None:
        if self.min_devices is None and self.window_s is None:
            raise ValueError("min_devices or window_s is needed: enrolment would never end")
        if self.min_devices is not None and self.min_devices < MINIMUM:
            raise ValueError(f"min_devices is {self.min_devices}, a federation needs at least {MINIMUM} devices")
        if self.window_s is not None and self.window_s <= 0:
            raise ValueError(f"window_s is {self.window_s}, it must be more than 0")


class RoundSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a round is.

    Attributes
    ----------
    deadline_s
        Seconds from the model's publication; an update that arrives later does not count.
    epochs
        Passes over a device's training samples in one fit.
    max_samples
        Samples processed in a fit at the most, over all epochs.
    traffic_bytes
        Bytes that a round's model may move for a device, down and up; like the deadline it bounds the tier that a
        device carries. None for any.
    energy_j
        Joules that a round may take of a device: its power at full load for as long as it computes. It bounds the tier
        too; a device whose ``power_w`` is not known is not judged by it. None for any.
    grace_s
        Seconds that a group with fewer than three reachable devices waits before it is merged.
    evaluation_deadline_s
        Seconds that the closing evaluation of a finished model may take; None for ``deadline_s``.
    abandoned_limit
        After so many abandoned rounds in a row a group ends, with its latest model. For devices that are rarely there
        together, more.
    downward
        Whether a device that has time left within the deadline, by the prediction of what its own group's model costs
        it, also trains the models of weaker groups, as their guest.
    """

    deadline_s: float = 600.0
    epochs: int = 1
    max_samples: int = 1000
    traffic_bytes: int | None = None
    energy_j: float | None = None
    grace_s: float = 60.0
    evaluation_deadline_s: float | None = None
    abandoned_limit: int = 3
    downward: bool = False

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool) and not value > 0:
                raise ValueError(f"{name} is {value}, it must be more than 0")

    @property
    def budget(self) -> FitBudget:
        """What a device may compute in one fit."""
        return FitBudget(epochs=self.epochs, max_samples=self.max_samples)

    @property
    def limits(self) -> RoundLimits:
        """What a round may cost a device."""
        return RoundLimits(
            deadline_s=self.deadline_s,
            samples=self.max_samples,
            traffic_bytes=self.traffic_bytes,
            energy_j=self.energy_j,
        )


class UpdateSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an update may be, and how often a device may send what cannot be used.

    Attributes
    ----------
    max_norm
        The Euclidean norm of an update's weights at the most; None for any. A device whose training diverged, or who
        wants to steer the model, sends a large one.
    max_samples
        An update's weight in the average at the most, in samples; None for any.
    quarantine_after
        A device that sends so many contributions or messages in a row that cannot be used is quarantined.
    """

    max_norm: float | None = None
    max_samples: int | None = None
    quarantine_after: int = 3

    def __post_init__(self) -> None:
        for name in ("max_norm", "max_samples", "quarantine_after"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} is {value}, it must be more than 0")


class FederationSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that the coordinator's machine is told.

    Attributes
    ----------
    name
        For people and for topics.
    task
        What is learned.
    seed
        All seeds of the run are derived from it.
    enrolment, rounds, updates
        See there.
    """

    name: str
    task: Task
    seed: int = 0
    enrolment: EnrolmentSettings = EnrolmentSettings()
    rounds: RoundSettings = RoundSettings()
    updates: UpdateSettings = UpdateSettings()
