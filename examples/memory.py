"""A whole federation in memory, in thirty lines: twelve devices of four kinds learn to read digits, on virtual time."""

from tierwise.core import EnrolmentSettings, FederationSettings, HardwareProfile, RoundSettings
from tierwise.plugins import Plugins
from tierwise.runtime import Choice, DeviceSpec, Policies, simulate

DEVICES = 12
digits = Plugins.discover().data_source("digits")
fleet = {}
for number in range(DEVICES):
    times = 10.0 ** (number // 3)
    hardware = HardwareProfile.declared(
        cpu_flops=1e9 * times, downlink_bytes_per_s=1e6 * times, uplink_bytes_per_s=1e6 * times
    )
    fleet[f"device-{number:02}"] = DeviceSpec(hardware, digits.load(number, DEVICES, seed=0))
settings = FederationSettings(
    name="memory",
    task=digits.task,
    enrolment=EnrolmentSettings(min_devices=DEVICES, window_s=None),
    rounds=RoundSettings(deadline_s=0.02, epochs=5, max_samples=200, downward=True),
)
policies = Policies(
    grouping=Choice(name="deadline"),
    tiers=Choice(name="mlp", options={"hidden": [[8], [64], [512]]}),
    stop=Choice(name="rounds", options={"rounds": 10}),
)
for group in simulate(settings, fleet, policies=policies).result.groups:
    print(f"{group.group}: {group.tier.name}, {len(group.devices)} devices: {group.metrics['accuracy'].mean:.3f}")
