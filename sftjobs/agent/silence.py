"""While there is no progress: who is waited for, for the status line and for the message of a hang."""

import time
from dataclasses import dataclass

from sftjobs.agent.group.base import Group
from sftjobs.agent.heartbeat import Heart
from sftjobs.agent.progress import Progress
from sftjobs.agent.ranks import Ranks
from sftjobs.agent.whereabouts import Verdict, judge

LOOK_S = 1.0
NOTABLE_S = 30.0
"""After so much silence, or half of what counts as a hang, the status says who is waited for."""


@dataclass
class Silence:
    """Looks at where the ranks are; every node tells node 0, which alone knows of all."""

    ranks: Ranks
    world: int
    progress: Progress
    heart: Heart
    group: Group
    hang_after_s: float

    def __post_init__(self) -> None:
        self._looked = 0.0

    def look(self) -> None:
        """Called as often as one likes."""
        now = time.monotonic()
        if now - self._looked < LOOK_S:
            return
        self._looked = now
        places = self.group.share(self.ranks.places())
        notable = self.group.watches_progress and self.progress.silent_s > min(NOTABLE_S, self.hang_after_s / 2)
        self.heart.notice(judge(places, self.world).message if notable else "")

    def verdict(self) -> Verdict:
        """As things are now."""
        return judge(self.group.share(self.ranks.places()), self.world)
