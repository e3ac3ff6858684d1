"""What everything is made of: the state, its field table, units, noise, the kernel table, exchange, files."""

from .errors import AskelError, InputError, Interrupted, MissingDependency, NumericalFailure
from .exchange import SERIAL, Exchange, Halo, NoHalo, Serial, Traffic
from .fields import FIELDS, KINDS, PARTICLE_FIELDS, SYSTEM_FIELDS, Field
from .kernels import KERNELS, kernel_threads, register, resolve
from .particles import Particles, join
from .units import UNIT_SYSTEMS, UnitSystem, custom_units, geometric_units, nbody_units

register({("require_device", "cuda"): "askel.particles._kernels.device_cuda:require_device"})

__all__ = [
    "FIELDS",
    "KERNELS",
    "KINDS",
    "PARTICLE_FIELDS",
    "SERIAL",
    "SYSTEM_FIELDS",
    "UNIT_SYSTEMS",
    "AskelError",
    "Exchange",
    "Field",
    "Halo",
    "InputError",
    "Interrupted",
    "MissingDependency",
    "NoHalo",
    "NumericalFailure",
    "Particles",
    "Serial",
    "Traffic",
    "UnitSystem",
    "custom_units",
    "geometric_units",
    "join",
    "kernel_threads",
    "nbody_units",
    "register",
    "resolve",
]
