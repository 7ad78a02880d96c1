"""``humanlrm serve``: the service."""

import importlib.util
from dataclasses import dataclass, field

import tyro

from humanlrm.commands.terminal import check_device, say
from humanlrm.serve.settings import ServeSettings

#: Packages of the extra "serve".
_SERVE = ("fastapi", "uvicorn", "gradio", "httpx", "prometheus_client", "multipart")


@dataclass(frozen=True)
class Serve:
    """Serve a page and a REST interface that turn photos into people (docs/serving.md).

    Attributes:
        settings: of the service.
        ray: serve on the Ray cluster at this address, e.g. auto, or local for one of this machine. Needs the extra
            "cluster".
    """

    settings: tyro.conf.OmitArgPrefixes[ServeSettings] = field(default_factory=ServeSettings)
    ray: str | None = None

    def run(self) -> int:
        lacking = [name for name in _SERVE if importlib.util.find_spec(name) is None]
        if lacking:
            raise ValueError(
                f"this needs {', '.join(lacking)}, which are not installed: pip install 'humanlrm[serve]', "
                "or in a clone make serve"
            )
        check_device(self.settings.device)
        if self.ray is not None:
            from humanlrm.serve.on_ray import serve_on_ray

            serve_on_ray(self.settings, self.ray, lambda address: say(f"{address}  (Ctrl-C stops)"))
            return 0
        from humanlrm.serve.app import serve

        serve(self.settings, lambda address: say(f"{address}  (Ctrl-C stops; API: {address}/docs)"))
        return 0
