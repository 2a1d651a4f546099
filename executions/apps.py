"""Django's entry for executions: registers the work that workers do and the kinds of tasks, and
lets a pipeline that was saved with more places give them out.
"""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class ExecutionsConfig(AppConfig):
    """Runs of pipelines and the workers that drive them."""

    name = "executions"
    verbose_name = _("Executions")

    def ready(self) -> None:
        from codestream.core import work
        from codestream.projects import belongings
        from endpoints.usage import register_users
        from executions import runners
        from executions.engine import admit
        from executions.models import TaskRun
        from executions.runners.kubernetes import KubernetesRunner
        from executions.task_context import target_of
        from executions.tasks import fail_task, work_task
        from executions.usage import executions_naming, live_executions
        from pipelines import task_kinds
        from pipelines.kubernetes_task import KIND
        from pipelines.services import when_saved

        runners.register(KIND, KubernetesRunner())
        task_kinds.register(KIND)
        tasks = work.WorkKind(
            name="task",
            model=TaskRun,
            step=work_task,
            fail=fail_task,
            related=("stage_run__execution", "rollout_watch"),
            about=lambda task: {"execution": str(task.stage_run.execution_id)},
            target=target_of,
        )
        work.register(tasks)
        when_saved(admit)
        belongings.register(belongings.Belongings(needing=live_executions))
        register_users(executions_naming)
