"""Puts two pictures of each figure on a page, for its light and its dark theme, of which a reader sees one."""

from binascii import a2b_base64
from hashlib import sha256

from docutils import nodes
from myst_nb.core.render import MimeData, MimeRenderPlugin, NbElementRenderer

from innerbook import dark


class BothThemes(MimeRenderPlugin):
    """Renders a figure that was printed twice; MyST-NB finds it by the entry point of this package."""

    @staticmethod
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[nodes.Element] | None:
        """Return both pictures, or None for what is none, or was printed once."""
        printed = data.output_metadata.get(dark.MIME, {}).get("png")
        if inline or data.mime_type != "image/png" or printed is None:
            return None
        (light,) = renderer.render_image(data)
        png = a2b_base64(printed)
        other = light.deepcopy()
        other["uri"] = renderer.write_file([f"{sha256(png).hexdigest()}.png"], png, overwrite=False, exists_ok=True)
        for picture, theme in ((light, "light"), (other, "dark")):
            picture["classes"] = [*picture.get("classes", []), f"{theme}-figure"]
        return [light, other]
