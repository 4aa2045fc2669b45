"""The client: model objects in, model objects and typed errors out.

    write = model.SessionMode.READ_WRITE
    with connect(endpoint, token) as client, client.session("patients/P1", write) as session:
        plan = session.copy_plan("patients/P1/plans/plan-1", "softer rectum")
        session.optimize(plan.name, model.OptimizeSpec(), on_progress=print)

The one idea: there is one implementation, the asynchronous one. `_reads` and `_session` hold what can be asked and
changed, `_wire` makes a call dependable, and `_faces` is the same in blocking form.
"""

from bridge.client._client import AsyncClient, connect_async
from bridge.client._faces import Client, Session, connect
from bridge.client._session import AsyncSession
from bridge.client._wire import Retry, Tls

__all__ = ["AsyncClient", "AsyncSession", "Client", "Retry", "Session", "Tls", "connect", "connect_async"]
