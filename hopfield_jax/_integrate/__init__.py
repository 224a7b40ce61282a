from ._event import Event as Event
from ._noise import Noise as Noise
from ._solve import as_args as as_args
from ._solve import as_problem as as_problem
from ._solve import integrate as integrate
from ._solve import tolerances as tolerances
from ._step import one_step as one_step
from ._step import step_fits as step_fits
