"""How the Docker Hub stand-in behaves where the real one is known to differ from time to time, or
where nobody outside knows: each habit is switched on by hand and stays until it is switched off.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True, kw_only=True)
class Habits:
    """``not_found`` is ``json`` or ``html``; ``no_right`` is 403 or 404, the answer about a public
    repository that the account may not manage; ``name_taken`` is 400 or 409; ``second_factor`` is
    401 or 200; ``organisation_tokens`` says whether they may manage webhooks;
    ``callback`` is 404 as today or 400 as from 2017 to 2019.
    """

    not_found: str = "json"
    no_right: int = 403
    name_taken: int = 400
    second_factor: int = 401
    organisation_tokens: bool = False
    callback: int = 404

    def change(self, wanted: dict[str, object]) -> None:
        """Take on the habits that are named. Raises ValueError for an unknown name or value."""
        for name, value in wanted.items():
            if value not in CHOICES.get(name, ()):
                raise ValueError(name)
            setattr(self, name, value)

    def forget(self) -> None:
        """Behave as at the start."""
        for each in fields(self):
            setattr(self, each.name, each.default)


CHOICES: dict[str, tuple[object, ...]] = {
    "not_found": ("json", "html"),
    "no_right": (403, 404),
    "name_taken": (400, 409),
    "second_factor": (401, 200),
    "organisation_tokens": (False, True),
    "callback": (404, 400),
}
