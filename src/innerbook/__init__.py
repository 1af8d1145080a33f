"""The course around innerview: data, disk, trained networks, pictures, verdicts, and what builds the book.

Import the module you need, as in ``from innerbook import data``. What only this book needs is here; what anyone can use
on a network of their own is in `innerview`.
"""

import logging

# Each descent and each read-out compiles a function of its own, on purpose; TensorFlow would remark on that.
logging.getLogger("tensorflow").addFilter(lambda record: "tf.function retracing" not in record.getMessage())
