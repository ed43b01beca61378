"""The settings of profile pictures, and their tuning."""

from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.config.settings import ServiceSettings


class AvatarSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="USERS_")

    picture_processes: int = Field(2, gt=0, le=64)
    """Pictures that are processed concurrently, each by a process that may take 768 MiB."""


@dataclass(frozen=True, slots=True)
class AvatarTuning:
    picture_queue: int = 16
    """Pictures that may wait for a process, or be uploading; more are answered 503."""
