#!/usr/bin/env bash
# Compare what llamactl tells of a real GPU with nvidia-smi, NVML and the profiler's own counts (CUPTI).
#
#   tests/gpu/check.sh build [PLACE]       without a GPU: needs nvcc, cuBLAS and a package index; 20 to 40 minutes
#   tests/gpu/check.sh run OUT [PLACE]     on a machine with an NVIDIA GPU: no network; under 2 minutes
#
# PLACE, build/gpu unless given, holds all that "run" needs beside Python, the CUDA libraries, pynvml and gguf.
# OUT gets gpu.json and gpu.md. LLAMACTL_GPU_ARCH names the GPU's architecture (90 for an H100 or H200);
# LLAMACTL_CMAKE adds CMake definitions, "-C cmake.define.X=Y …", such as where cuBLAS is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
python=${PYTHON:-python3}

build() {
    mkdir -p "$place/wheels"
    arch=${LLAMACTL_GPU_ARCH:-90}
    # No native CPU code: the GPU is in another machine. No VMM: then libcuda isn't linked, and the library loads here.
    # shellcheck disable=SC2086
    "$python" -m pip wheel --no-deps -w "$place/wheels" "$root" \
        -C cmake.define.GGML_CUDA=ON -C "cmake.define.CMAKE_CUDA_ARCHITECTURES=$arch-real" \
        -C cmake.define.GGML_CUDA_FA=OFF -C cmake.define.GGML_CUDA_NO_VMM=ON -C cmake.define.GGML_CUDA_NCCL=OFF \
        -C cmake.define.GGML_NATIVE=OFF ${LLAMACTL_CMAKE:-}
    rm -rf "$place/llama_cpp"
    cp -r "$(find "$root/build" -path '*_deps/engine-src/llama_cpp' | head -1)" "$place/llama_cpp"
    programs
}

programs() {
    arch=${LLAMACTL_GPU_ARCH:-90}
    nvcc "-arch=sm_$arch" -cudart shared -o "$place/known" "$here/known.cu"
    nvcc "-arch=sm_$arch" -cudart static -o "$place/known_static" "$here/known.cu"
    toolkit=$(dirname "$(dirname "$(readlink -f "$(command -v nvcc)")")")
    cupti=$(find "$toolkit" -name 'libcupti.so*' | head -1)
    if [ -n "$cupti" ]; then
        gcc -O2 -shared -fPIC "-I$toolkit/include" "$here/cupti_counts.c" "$cupti" -o "$place/libcupti_counts.so"
    else
        echo "no CUPTI: the profiler's counts will be missing"
    fi
}

run() {
    out=$1
    mkdir -p "$out"
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install --quiet --no-index --no-deps --no-compile --target "$site" "$place"/wheels/*.whl
    cp -r "$place/llama_cpp" "$site/"
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}" LLAMA_CPP_LIB_PATH="$site/llamactl/lib"
    # CUDA's libraries: the system's, or those of the nvidia-* packages.
    packaged=$("$python" -c 'import nvidia; print(list(nvidia.__path__)[0])' 2>/dev/null || true)
    for name in libcudart.so.1? libcublas.so.1? libcupti.so.1?; do
        found=$(find ${packaged:+"$packaged"} /usr/local/cuda*/ -name "$name" 2>/dev/null | head -1)
        [ -n "$found" ] && LD_LIBRARY_PATH="$(dirname "$found")${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
    done
    export LD_LIBRARY_PATH
    out=$(cd "$out" && pwd)
    cd "$site" # The checkout's own package isn't the one to check.
    "$python" "$here/check.py" "$place" "$out"
}

case ${1:-} in
build) mkdir -p "${2:-$root/build/gpu}"; place=$(cd "${2:-$root/build/gpu}" && pwd); build ;;
programs) mkdir -p "${2:-$root/build/gpu}"; place=$(cd "${2:-$root/build/gpu}" && pwd); programs ;;
run) place=$(cd "${3:-$root/build/gpu}" && pwd); run "${2:?where to?}" ;;
*) sed -n '2,10p' "$0" >&2; exit 2 ;;
esac
