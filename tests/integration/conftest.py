from collections.abc import Iterator

import pytest
import trustme


@pytest.fixture(scope="package", autouse=True)
def one_certificate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The applications read the certificates of the machine at their start, which takes longer than most tests do."""
    folder = tmp_path_factory.mktemp("certificates")
    trustme.CA().cert_pem.write_to_path(str(folder / "one.pem"))
    (folder / "none").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(folder / "one.pem"))
        patch.setenv("SSL_CERT_DIR", str(folder / "none"))
        yield
