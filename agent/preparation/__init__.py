"""From a patient and a protocol to a plan that can be optimised.

`demands` asks whether this server can do what the protocol needs, `matching` finds the protocol's structures, `helpers`
makes rings and cropped organs, `binding` ties goals and objectives to what was found, `prepared` makes the plan of it.
"""

from agent.preparation.binding import BoundStage
from agent.preparation.demands import ServerLacks, declares
from agent.preparation.matching import Matches, PreparationError, match
from agent.preparation.prepared import Prepared, prepare

__all__ = ["BoundStage", "Matches", "PreparationError", "Prepared", "ServerLacks", "declares", "match", "prepare"]
