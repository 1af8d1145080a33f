"""Inner View: what the hidden layers of a neural network know.

Data flows one way: datasets, activations, monitors, models, inversion and embedding, plotting, then a chapter
and its claims. Import the module you need, as in ``from innerview import datasets``: nothing heavy is loaded before
you ask for it.
"""

import logging

# Each descent and each read-out compiles a function of its own, on purpose; TensorFlow would remark on that.
logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())
