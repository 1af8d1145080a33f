"""Inner View: what the hidden layers of a neural network know.

Models, activations, monitors and inversions for networks in Keras, on any of its backends. What the documents of the
book ran is here as functions that anyone can use on a network of their own; the course around them is `innerbook`.
"""

from innerview.activations import feature_extractor, get_activations
from innerview.callbacks import Monitor
from innerview.constraints import GaussianBlur
from innerview.inversion import InversionResult, fit_inputs, invert, invert_layer, random_start
from innerview.layers import EnsembleDense, ResidualDense
from innerview.losses import binary_crossentropy_by_class, l1_distance, softmax_crossentropy
from innerview.metrics import add_noise, feature_distance, pearson
from innerview.models import deep_tanh, feed_forward, one_hidden_layer, stacked_encoders, two_hidden_layers
from innerview.optimizers import NormalizedSGD, linear_decay_sgd
from innerview.resnet import resnet, stage_outputs
from innerview.training import fit_ensemble
