"""Sets up Inner View in this folder, without internet, and starts it.

python set_up.py          sets up, checks, and says what to do next
python set_up.py start    opens the notebooks in JupyterLab
"""

import os
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = HERE / ".venv" / ("Scripts" if os.name == "nt" else "bin")
CHECK = """
from innerbook import data
from innerview import get_activations, one_hidden_layer

mnist = data.load_mnist()
network = one_hidden_layer(0)
shapes = [a.shape for a in get_activations(network, mnist.x_test[:10]).values()]
print("Activations of ten digits:", *shapes)
"""


def environment() -> dict[str, str]:
    """Return this process's environment, with the data that came along."""
    own = {"INNERVIEW_DATA": str(HERE / "data"), "INNERVIEW_OFFLINE": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    return {**os.environ, **own}


def set_up() -> None:
    """Make the environment from the packages here, and try it."""
    print("Setting up, without internet: some minutes ...", flush=True)
    venv.create(HERE / ".venv", with_pip=True, clear=True)
    pip = [str(BIN / "python"), "-m", "pip", "install", "--quiet", "--no-index", "--disable-pip-version-check"]
    wanted = ["innerview[notebooks,tensorflow]", "jupyterlab"]
    if subprocess.run([*pip, "--find-links", str(HERE / "packages"), *wanted]).returncode:
        version = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"The packages here do not fit this system or Python {version}: ask for an archive that has them.")
    if subprocess.run([str(BIN / "python"), "-c", CHECK], env=environment()).returncode:
        sys.exit("It is set up, but does not run: show the lines above to your teacher.")
    print("All is well. Say `python set_up.py start` for the notebooks; the book to read is book/index.html.")


if __name__ == "__main__":
    if sys.argv[1:] == ["start"]:
        sys.exit(subprocess.run([str(BIN / "jupyter"), "lab", str(HERE / "notebooks")], env=environment()).returncode)
    set_up()
