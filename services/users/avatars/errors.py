"""The errors of profile pictures.

DashboardError
├── NotFound
│   └── AvatarNotFound
├── InvalidInput
│   └── UnusablePicture
├── UnsupportedUpload   415
└── Unavailable
    └── TooManyPictures
"""

from typing import ClassVar, Self

from shared.errors import DashboardError, InvalidInput, NotFound, Unavailable


class AvatarNotFound(NotFound):
    code, title = "avatar_not_found", "This user has no picture"


class UnusablePicture(InvalidInput):
    code, title = "unusable_picture", "The picture cannot be used"

    @classmethod
    def example(cls) -> Self:
        return cls.of("picture", "is missing")


class UnsupportedUpload(DashboardError):
    status, code, title = 415, "unsupported_media_type", "Send a picture as PNG, JPEG or WebP, or in a form"


class TooManyPictures(Unavailable):
    code, title = "too_many_pictures", "Too many pictures, or another one of yours, are being processed; try again"
    headers: ClassVar = {"Retry-After": "2"}
