"""What the packaged panels file declares."""

from services.gateway.catalog.catalog import packaged

PANELS = packaged().panels
OPERATIONS = packaged().operations
