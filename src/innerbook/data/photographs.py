"""Nine photographs inside the wheels of scikit-image and scikit-learn."""

import numpy as np

# All free to use; the files that hold them, what they show, and who made them.
_FILES = {
    "cat": ("chelsea", "a cat, by Stefan van der Walt, CC0"),
    "cup": ("coffee", "a cup of espresso, by Rachel Michetti, CC0"),
    "astronaut": ("astronaut", "Eileen Collins, by NASA, public domain"),
    "rocket": ("rocket", "a rocket on its pad, by SpaceX, CC0"),
    "temple": ("china", "a temple, by danielbuechele, CC BY 2.0"),
    "dahlia": ("flower", "a dahlia, by vultilion, CC BY 2.0"),
    "galaxies": ("hubble_deep_field", "galaxies, by NASA, public domain"),
    "tissue": ("immunohistochemistry", "stained tissue, by CMMI, no known restrictions"),
    "retina": ("retina", "a retina, by Mikael Häggström, CC0"),
}
PHOTOGRAPHS = {name: shows for name, (_, shows) in _FILES.items()}


def load_photographs(side: int) -> dict[str, np.ndarray]:
    """Return nine photographs by name, in colour, float32 of shape ``(side, side, 3)`` with values in [0, 1].

    Each is cut to the square in its middle and made smaller by averaging (document B).

    Raises:
        ValueError: `side` is not from 1 to 300 pixels, the height of the smallest.
    """
    # Only here: scikit-learn alone takes a second to import.
    import skimage.data
    from PIL import Image, ImageOps
    from sklearn.datasets import load_sample_image

    if not 1 <= side <= 300:
        raise ValueError(f"side must be from 1 to 300 pixels; received {side}")
    found = {}
    for name, (file, _) in _FILES.items():
        image = load_sample_image(f"{file}.jpg") if file in ("china", "flower") else getattr(skimage.data, file)()
        squared = ImageOps.fit(Image.fromarray(image), (side, side), Image.Resampling.BOX)
        found[name] = np.asarray(squared, "float32") / 255
    return found
