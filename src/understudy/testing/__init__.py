"""The kit for tests of applications that use Understudy: time moved by hand, scripted backends.

clock = ManualClock()
transport = ScriptedTransport(clock, {"http://a.test/v1/chat/completions": [Reply(status=500)]})
lb = Balancer(profile, members, clock=clock, transport=transport)
...
await clock.advance(30)
"""

from understudy.runtime.clock import ManualClock
from understudy.simulate.scripted_transport import Reply, ScriptedResponse, ScriptedTransport

__all__ = ["ManualClock", "Reply", "ScriptedResponse", "ScriptedTransport"]
