#!/bin/sh
# Build ggml's Vulkan backend for the installed engine, so that Mesa's lavapipe can be a device without hardware.
# usage: PYTHON=… build.sh FOLDER; the last line is the library's path. Exit code 77: a package is missing, it says which.
set -eu
cd "$(dirname "$0")/../.."
folder=$PWD/$1
missing() { echo "$1" >&2; exit 77; }

command -v glslc >/dev/null || missing "glslc isn't installed (Debian: glslc)"
ls /usr/share/vulkan/icd.d/lvp_icd*.json >/dev/null 2>&1 || missing "lavapipe isn't installed (Debian: mesa-vulkan-drivers)"
[ -e /usr/include/vulkan/vulkan.h ] || missing "Vulkan's headers aren't installed (Debian: libvulkan-dev)"
find /usr -name 'SPIRV-HeadersConfig.cmake' 2>/dev/null | grep -q . || missing "SPIR-V's headers aren't installed (Debian: spirv-headers)"
engine=$(ls -d build/*/_deps/engine-src/vendor/llama.cpp 2>/dev/null | head -n 1)
[ -n "$engine" ] || missing "the engine's source isn't in build/ (pip install . fetches it)"

# ggml's backend needs headers with VK_EXT_layer_settings for C++. Where the distribution's are older, those of Debian 13
# are fetched from the mirror that apt uses, with lists and cache of our own, and unpacked beside the build.
newer=trixie
headers=/usr/include
has_new() { grep -qs LayerSettingEXT "$1/vulkan/vulkan_structs.hpp"; }
if ! has_new $headers; then
    headers=$folder/headers/usr/include
    if ! has_new "$headers"; then
        command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null ||
            missing "Vulkan's headers are older than 1.3.275, and there is no apt to fetch newer ones with"
        keys=/usr/share/keyrings/debian-archive-keyring.gpg
        [ -e $keys ] || missing "Vulkan's headers are older than 1.3.275, and Debian's keys ($keys) aren't there for newer ones"
        site=$(apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Component: main' | head -n 1)
        apt=$folder/apt
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial" "$apt/sources" "$folder/headers"
        printf 'Types: deb\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n' "$site" $newer $keys >"$apt/sources/newer.sources"
        set -- -q -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$apt/sources" -o Dir::State::Lists="$apt/lists" \
            -o Dir::Cache="$apt/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1
        (apt-get "$@" update && cd "$apt" && apt-get "$@" download libvulkan-dev) >"$folder/apt.log" 2>&1 ||
            missing "Vulkan's headers are older than 1.3.275, and newer ones can't be fetched: see $folder/apt.log"
        dpkg-deb -x "$apt"/libvulkan-dev_*.deb "$folder/headers"
    fi
fi

cmake=$(command -v cmake) || missing "cmake isn't installed"
mkdir -p "$folder"
"$cmake" -G Ninja -S llama.cpp -B "$folder/build" -DCMAKE_BUILD_TYPE=Release -DSKBUILD_PROJECT_VERSION=0 \
    -DPython_EXECUTABLE="$PWD/$PYTHON" -DFETCHCONTENT_SOURCE_DIR_ENGINE="$PWD/$engine" \
    -DLLAMACTL_BACKENDS=vulkan -DVulkan_INCLUDE_DIR="$headers" >"$folder/build.log" 2>&1 &&
    "$cmake" --build "$folder/build" --target ggml-vulkan >>"$folder/build.log" 2>&1 ||
    { tail -n 30 "$folder/build.log" >&2; exit 1; }
echo "$folder/build/backends/libggml-vulkan.so"
