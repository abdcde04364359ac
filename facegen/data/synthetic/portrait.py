"""The order in which a face is drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facegen.data.synthetic.attributes import Face
from facegen.data.synthetic.canvas import Canvas, ellipse


def draw(face: Face) -> npt.NDArray[np.uint8]:
    canvas = Canvas(face.roll)
    canvas.pixels[:] = 0.3 + 0.5 * face.backdrop_value
    head = canvas.patch(0, 6, face.width + 2, 70)
    tone = 1 - 0.7 * face.skin_tone
    head.paint(ellipse(head.x, head.y, face.width, 62), (0.95 * tone, 0.78 * tone, 0.66 * tone))
    for side in (-1, 1):
        eye = canvas.patch(side * 19.5, 0, 10, 5)
        eye.paint(ellipse(eye.x, eye.y, face.eye_width, face.eye_open), (0.2, 0.15, 0.1))
    mouth = canvas.patch(0, face.mouth_y, 20, 6)
    mouth.paint(ellipse(mouth.x, mouth.y, face.mouth_width, 3), (0.6, 0.3, 0.3))
    return canvas.finish()
