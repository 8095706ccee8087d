"""What libraries say of themselves, kept out of logs."""

import sys
import warnings
from types import ModuleType


def quiet(library: ModuleType) -> None:
    """No bars of transformers or diffusers where stderr is no terminal: they are lines of noise in a pod's log.

    And not the warning that peft asks transformers for a name that it is about to rename: nobody here can mend that.
    """
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    if not sys.stderr.isatty():
        library.utils.logging.disable_progress_bar()
