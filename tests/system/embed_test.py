"""The library: the example program runs, and builds against an installed varve."""
import os
import shutil
import subprocess

import harness

BUILD = os.path.dirname(os.path.abspath(harness.VARVE))
SOURCE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

CONSUMER = """
cmake_minimum_required(VERSION 3.25)
project(consumer LANGUAGES CXX)
find_package(varve REQUIRED)
add_executable(consumer embed_example.cc)
target_link_libraries(consumer PRIVATE varve::varve)
"""


def run(*argv, **more):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280, **more)
    text = done.stdout.decode(errors="replace")
    assert done.returncode == 0, (argv, done.returncode, text[-3000:])
    return text


def check_example(program, directory):
    for _ in range(2):      # the second time over what the first one left
        assert "{} 24." in run(program, directory)


def test_example():
    with harness.scratch() as directory:
        check_example(os.path.join(BUILD, "embed_example"), directory + "/data")


def test_installed_package():
    with harness.scratch() as directory:
        prefix, consumer = directory + "/prefix", directory + "/consumer"
        run("cmake", "--install", BUILD, "--prefix", prefix)
        assert run(prefix + "/bin/varve", "--version").startswith("varve, version ")
        os.mkdir(consumer)
        with open(consumer + "/CMakeLists.txt", "w") as f:
            f.write(CONSUMER)
        shutil.copy(SOURCE + "/tools/embed_example.cc", consumer)
        cache = open(BUILD + "/CMakeCache.txt").read()
        flags = [l.split("=", 1)[1] for l in cache.splitlines() if l.startswith("VARVE_SANITIZE:")][0]
        more = ["-DCMAKE_CXX_FLAGS=-fsanitize=" + flags] if flags else []
        run("cmake", "-G", "Ninja", "-S", consumer, "-B", consumer + "/build",
            "-DCMAKE_PREFIX_PATH=" + prefix, "-DCMAKE_BUILD_TYPE=Debug", *more)
        run("cmake", "--build", consumer + "/build")
        check_example(consumer + "/build/consumer", directory + "/data")


if __name__ == "__main__":
    harness.run_tests(test_example, test_installed_package)
