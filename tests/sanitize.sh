#!/usr/bin/env bash
# Build our own C with AddressSanitizer and UndefinedBehaviorSanitizer beside the installed package, and run the tests
# of the recorders and of what reads /proc and GGUF with it. usage: PYTHON=… sanitize.sh FOLDER [pytest arguments]
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$1
shift
bin=$(dirname "$PYTHON")
export PATH="$PWD/$bin:$PATH"
cmake -G Ninja -S llama.cpp -B "$folder/build" -DLLAMACTL_ENGINE=OFF -DLLAMACTL_SANITIZE=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
    -DSKBUILD_PROJECT_VERSION="$("$PYTHON" -P -c 'import llamactl; print(llamactl.__version__)')" \
    -DPython_EXECUTABLE="$PWD/$PYTHON" >"$folder.log"
cmake --build "$folder/build" >>"$folder.log" || { tail -30 "$folder.log"; exit 1; }
rm -rf "$folder/llamactl"
cp -a "$("$PYTHON" -P -c 'import llamactl, pathlib; print(pathlib.Path(llamactl.__file__).parent)')" "$folder/llamactl"
cmake --install "$folder/build" --prefix "$folder" --component llamactl >>"$folder.log"
# Python itself isn't instrumented, so the sanitizers' libraries come first, and leaks are mostly Python's. Programs that
# are looked at are to be as always: sanitized.py takes the libraries out of what they inherit.
preload="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)"
ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:verify_asan_link_order=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
    LD_PRELOAD=$preload PYTHONPATH=$PWD/$folder exec "$PYTHON" -P tests/sanitized.py -q "$@"
