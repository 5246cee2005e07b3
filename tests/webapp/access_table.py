"""Who gets which answer from every address and socket. A new address fails test_permissions until it is here.

Five people: anonymous, a viewer, an editor who does not own the thing, the editor who owns it, and an
administrator. The thing is shared with the lab, or private.
"""

from __future__ import annotations

from dataclasses import dataclass, field

IN = "sign in"  # redirected to the sign-in page
OK = "ok"  # the row's own status
PEOPLE = ("anonymous", "viewer", "other editor", "owner", "administrator")


@dataclass(frozen=True)
class Rule:
    """Answers to the five people, in the order of PEOPLE, for a shared and for a private thing."""

    shared: tuple[str | int, ...]
    private: tuple[str | int, ...]


def alike(*answers: str | int) -> Rule:
    """For an address that is about no thing of anybody's."""
    return Rule(shared=answers, private=answers)


EVERYBODY = alike(OK, OK, OK, OK, OK)
SIGNED_IN = alike(IN, OK, OK, OK, OK)
EDITORS = alike(IN, 403, OK, OK, OK)
ADMINISTRATORS = alike(IN, 403, 403, 403, OK)
SEES = Rule(shared=(IN, OK, OK, OK, OK), private=(IN, 404, 404, OK, OK))
CHANGES = Rule(shared=(IN, 403, 403, OK, OK), private=(IN, 404, 404, OK, OK))
OWN = alike(IN, 404, 404, OK, OK)
MAKES_FROM = Rule(shared=(IN, 403, OK, OK, OK), private=(IN, 404, 404, OK, OK))  # something new out of it
MAKES_FROM_ROLE_FIRST = Rule(shared=(IN, 403, OK, OK, OK), private=(IN, 403, 404, OK, OK))
ADDS = Rule(shared=(IN, 403, 404, OK, OK), private=(IN, 404, 404, OK, OK))  # to a data set of one's own
OWN_UPLOAD = alike(401, 404, 404, OK, 404)  # a program asks: no redirect; administrators neither


@dataclass(frozen=True)
class Row:
    """One method of an address: who may, and what they then get."""

    method: str
    rule: Rule
    ok: int
    arguments: dict[str, str] = field(default_factory=dict)  # of the address: fields of the test's World


def get(rule: Rule, ok: int = 200, **arguments: str) -> Row:
    return Row("GET", rule, ok, arguments)


def post(rule: Rule, ok: int = 302, **arguments: str) -> Row:
    """With an empty form. It answers 422 or 200 where the form then shows its errors."""
    return Row("POST", rule, ok, arguments)


TABLE: dict[str, tuple[Row, ...]] = {
    "home": (get(SIGNED_IN),),
    "activity": (get(SIGNED_IN),),
    "offline": (get(EVERYBODY),),
    "service_worker": (get(EVERYBODY),),
    "health": (get(EVERYBODY),),
    # accounts
    "accounts:sign_in": (get(alike(OK, 302, 302, 302, 302)), post(alike(OK, 302, 302, 302, 302), 200)),
    "accounts:use_link": (get(alike(410, 302, 302, 302, 302), token="no_token"),),
    "accounts:sign_out": (post(SIGNED_IN),),
    "accounts:welcome": (get(SIGNED_IN, 302), post(SIGNED_IN)),  # home: all of them have passwords
    "accounts:accept": (
        get(EVERYBODY, token="invitation_token"),
        post(EVERYBODY, 200, token="invitation_token"),
    ),
    "accounts:account": (get(SIGNED_IN), post(SIGNED_IN)),
    "accounts:change_password": (post(SIGNED_IN, 200),),
    "accounts:people": (get(ADMINISTRATORS),),
    "accounts:invite": (post(ADMINISTRATORS, 200),),
    "accounts:revoke": (post(ADMINISTRATORS, pk="invitation"),),
    "accounts:change_role": (post(ADMINISTRATORS, pk="person"),),
    "accounts:deactivate": (post(ADMINISTRATORS, pk="person"),),
    "accounts:activate": (post(ADMINISTRATORS, pk="person"),),
    "accounts:make_link": (post(ADMINISTRATORS, 200, pk="person"),),
    "accounts:styleguide": (get(ADMINISTRATORS),),
    # jobs
    "jobs:index": (get(SIGNED_IN),),
    "jobs:queue": (get(SIGNED_IN),),
    "jobs:log": (get(SEES, pk="job"),),
    "jobs:stop": (post(CHANGES, pk="job"),),
    "jobs:pause": (post(CHANGES, pk="job"),),
    "jobs:resume": (post(CHANGES, pk="job"),),
    "jobs:place": (post(CHANGES, 200, pk="job"),),
    "jobs:move_up": (post(CHANGES, pk="job"),),
    "jobs:move_down": (post(CHANGES, pk="job"),),
    # uploads: 412 and 415 say that the protocol's headers are missing, which comes after who asks
    "uploads:uploads": (
        Row("OPTIONS", EVERYBODY, 204),
        Row("POST", alike(401, 403, OK, OK, OK), 400),
    ),
    "uploads:upload": (
        Row("OPTIONS", EVERYBODY, 204, {"pk": "upload"}),
        Row("HEAD", OWN_UPLOAD, 200, {"pk": "upload"}),
        Row("PATCH", OWN_UPLOAD, 415, {"pk": "upload"}),
        Row("DELETE", OWN_UPLOAD, 204, {"pk": "upload"}),
    ),
    "uploads:key": (get(EDITORS), post(EDITORS, 200)),
    "uploads:revoke_key": (post(SIGNED_IN),),
    # data sets
    "datasets:index": (get(SIGNED_IN),),
    "datasets:new": (get(EDITORS), post(EDITORS, 422)),
    "datasets:import_path": (post(ADMINISTRATORS, 422),),
    "datasets:try_drawn": (post(EDITORS),),
    "datasets:dataset": (get(SEES, pk="dataset"),),
    "datasets:edit": (get(CHANGES, pk="dataset"), post(CHANGES, 422, pk="dataset")),
    "datasets:delete": (post(CHANGES, pk="dataset"),),
    "datasets:retry": (post(CHANGES, pk="dataset"),),
    "datasets:preview_picture": (get(SEES, pk="dataset", job="import_job", picture="index"),),
    "datasets:version": (get(SEES, pk="dataset", number="number"),),
    "datasets:refusals": (get(SEES, pk="dataset", number="number"),),
    "datasets:refusals_csv": (get(SEES, pk="dataset", number="number"),),
    "datasets:download": (get(SEES, pk="dataset", number="number", layout="layout"),),
    "datasets:edit_faces": (post(CHANGES, pk="dataset", number="number"),),
    "datasets:alike": (get(SEES, pk="dataset", number="number"),),
    "datasets:change_alike": (post(CHANGES, pk="dataset", number="number"),),
    "datasets:compare": (get(SEES, pk="dataset", number="number", other="number"),),
    "datasets:undo": (post(CHANGES, pk="dataset", number="number"),),
    "datasets:make_version": (post(CHANGES, pk="dataset", number="number"),),
    "datasets:remedy": (post(CHANGES, pk="dataset", number="number"),),
    "datasets:discard": (post(CHANGES, pk="dataset", number="number"),),
    "datasets:delete_version": (
        get(CHANGES, pk="dataset", number="number"),
        post(CHANGES, pk="dataset", number="number"),
    ),
    "datasets:faces": (get(SEES, pk="dataset", number="number"),),
    "datasets:face": (get(SEES, pk="dataset", number="number", index="index"),),
    "datasets:pixels": (get(SEES, pk="dataset", number="number", index="index"),),
    # experiments and runs
    "experiments:index": (get(SIGNED_IN),),
    "experiments:latest": (get(SIGNED_IN),),
    "experiments:experiment": (get(SEES, pk="experiment"),),
    "experiments:table": (get(SEES, pk="experiment"),),
    "experiments:curves": (get(SEES, pk="experiment"),),
    "experiments:comparison": (get(SEES, pk="experiment"),),
    "experiments:edit": (get(CHANGES, pk="experiment"), post(CHANGES, 422, pk="experiment")),
    "experiments:delete": (post(CHANGES, pk="experiment"),),
    "experiments:new_sweep": (get(EDITORS), post(EDITORS, 422)),
    "experiments:sweep_plan": (post(EDITORS, 200),),
    "experiments:run_plan": (post(EDITORS, 200),),
    "experiments:new_run": (get(EDITORS), post(EDITORS, 422)),
    "experiments:run": (get(SEES, pk="run"),),
    "experiments:clone_run": (get(MAKES_FROM, pk="run"), post(MAKES_FROM, 422, pk="run")),
    "experiments:run_head": (get(SEES, pk="run"),),
    "experiments:run_symptoms": (get(SEES, pk="run"),),
    "experiments:run_results": (get(SEES, pk="run"),),
    "experiments:run_log": (get(SEES, pk="run"),),
    "experiments:run_points": (get(SEES, pk="run"),),
    "experiments:run_steps": (get(SEES, pk="run"),),
    "experiments:run_hardware": (get(SEES, pk="run"),),
    "experiments:chart_csv": (get(SEES, pk="run", chart="chart"),),
    "experiments:curves_csv": (get(SEES, pk="experiment"),),
    "experiments:steer": (get(CHANGES, pk="run"), post(CHANGES, 200, pk="run")),
    "experiments:withdraw": (post(CHANGES, pk="run", number="number"),),
    "experiments:edit_run": (post(CHANGES, pk="run"),),
    "experiments:delete_run": (post(CHANGES, pk="run"),),
    "experiments:download": (get(SEES, pk="run", what="what"),),
    # searches: seen and steered by whoever sees and steers their experiment
    "searches:new": (get(EDITORS), post(EDITORS, 422)),
    "searches:plan": (post(EDITORS, 200),),
    "searches:search": (get(SEES, pk="search"),),
    "searches:results": (get(SEES, pk="search"),),
    "searches:points": (get(SEES, pk="search"),),
    "searches:pause": (post(CHANGES, pk="search"),),
    "searches:resume": (post(CHANGES, pk="search"),),
    "searches:stop": (post(CHANGES, pk="search"),),
    "searches:extend": (post(CHANGES, pk="search"),),
    "searches:confirm": (post(CHANGES, pk="search"),),
    # models
    "registry:index": (get(SIGNED_IN),),
    "registry:model": (get(SEES, pk="model"),),
    "registry:edit": (post(CHANGES, pk="model"),),
    "registry:delete": (post(CHANGES, pk="model"),),
    "registry:leave_out": (post(MAKES_FROM, pk="model"),),
    "registry:download": (get(SEES, pk="model"),),
    "registry:export": (post(CHANGES, pk="model"),),
    "registry:exported": (get(SEES, pk="model"),),
    "registry:starter": (post(EDITORS),),
    "registry:scorings": (get(SEES, pk="dataset", number="number"),),
    "registry:score": (post(MAKES_FROM, pk="dataset", number="number"),),
    "registry:promote": (post(MAKES_FROM_ROLE_FIRST, run="run"),),
    # labelling
    "labeling:index": (get(SIGNED_IN),),
    "labeling:new": (get(EDITORS), post(EDITORS, 422)),
    "labeling:batch": (get(SEES, pk="batch"),),
    "labeling:head": (get(SEES, pk="batch"),),
    "labeling:faces": (get(SEES, pk="batch"),),
    "labeling:face": (get(SEES, pk="batch", index="index"),),
    "labeling:before_after": (get(SEES, run="run"),),
    "labeling:measure": (post(MAKES_FROM, run="run"),),
    "labeling:photo": (get(SEES, pk="batch", picture="index"),),
    "labeling:photo_pixels": (get(SEES, pk="batch", picture="index"),),
    "labeling:csv": (get(SEES, pk="batch"),),
    "labeling:jsonl": (get(SEES, pk="batch"),),
    "labeling:votes": (get(SEES, pk="batch"),),
    "labeling:votes_zip": (get(SEES, pk="batch"),),
    "labeling:zip": (get(SEES, pk="batch"),),
    "labeling:review": (get(MAKES_FROM, pk="batch"),),
    "labeling:next_faces": (post(MAKES_FROM, 400, pk="batch"),),  # 400: a form is no JSON
    "labeling:give_back": (post(MAKES_FROM, 400, pk="batch"),),
    "labeling:say": (post(MAKES_FROM, 400, pk="batch"),),
    "labeling:choose_target": (get(MAKES_FROM, pk="batch"),),
    "labeling:add": (
        get(ADDS, pk="batch", version_pk="version"),
        post(ADDS, 422, pk="batch", version_pk="version"),
    ),
    "labeling:decide": (get(MAKES_FROM, pk="batch"),),
    "labeling:agreement": (get(SEES, pk="batch"),),
    "labeling:second": (get(MAKES_FROM, pk="batch"), post(MAKES_FROM, 422, pk="batch")),
    "labeling:want_labels": (post(CHANGES, pk="batch"),),
    "labeling:make_dataset": (post(MAKES_FROM, pk="batch"),),
    "labeling:edit": (post(CHANGES, pk="batch"),),
    "labeling:delete": (post(CHANGES, pk="batch"),),
    # webhooks: private to their owners
    "news:webhooks": (get(EDITORS), post(EDITORS, 422)),
    "news:webhook": (get(OWN, pk="webhook"), post(OWN, 422, pk="webhook")),
    "news:deliveries": (get(OWN, pk="webhook"),),
    "news:test_webhook": (post(OWN, pk="webhook"),),
    "news:new_secret": (post(OWN, pk="webhook"),),
    "news:delete_webhook": (post(OWN, pk="webhook"),),
}

REFUSED = 4403  # the close code that tells browsers not to try again
SOCKETS: dict[str, Rule] = {
    "ws/jobs/": alike(REFUSED, OK, OK, OK, OK),
    "ws/ends/": alike(REFUSED, OK, OK, OK, OK),
    "ws/jobs/<int:job_id>/": Rule(
        shared=(REFUSED, OK, OK, OK, OK), private=(REFUSED, REFUSED, REFUSED, OK, OK)
    ),
}
