"""Prints the folders of Python's nvidia packages that hold shared libraries, one a line."""
import importlib.util
import pathlib

package = importlib.util.find_spec("nvidia")
for place in package.submodule_search_locations if package else []:
    for folder in sorted(pathlib.Path(place).glob("*/lib")):
        if any(folder.glob("*.so*")):
            print(folder)
