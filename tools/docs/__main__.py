"""`make docs`: writes the pages of docs/reference."""

from tools.docs.pages import write

if __name__ == "__main__":
    for path in write():
        print(path)  # noqa: T201  what it is for
