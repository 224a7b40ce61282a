from ._branch import follow_orbit as follow_orbit
from ._find import PeriodicOrbit as PeriodicOrbit
from ._find import periodic_orbit as periodic_orbit
