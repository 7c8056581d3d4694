# SPDX-License-Identifier: BSL-1.0
# Sourced by scripts/check.sh: every way in which others take the library, each building and running the same small program.

consumers=packaging/consumers
export CMAKE_GENERATOR=Ninja # a bare machine has no make

fresh() { rm -rf "$1" && mkdir -p "$1"; }

# What a clone has: committed or about to be, nothing built.
copy_tree() {
    fresh "$1"
    git ls-files -z --cached --others --exclude-standard | xargs -0 ls -d 2>/dev/null | tar -cf - -T - | tar -xf - -C "$1"
}

# An installed tree, made by Meson, that was moved since: the packages find the headers relative to themselves.
installed_tree() {
    local made=build/check/install prefix=$PWD/build/check/installed
    [ -d "$prefix" ] && rm -rf "$prefix"
    fresh $made
    meson setup $made/build --prefix=/usr -Dtests=disabled -Dexamples=disabled -Dbenchmarks=disabled
    DESTDIR=$PWD/$made/root meson install -C $made/build
    mv $made/root/usr "$prefix"
}

build_with_cmake() { # SOURCE FOLDER, BUILD FOLDER, CMAKE OPTIONS...
    local source=$1 folder=$2
    shift 2
    fresh "$folder"
    CXX=$GXX cmake -S "$source" -B "$folder" "$@"
    cmake --build "$folder" -j "$jobs"
    "$folder/consumer"
}

# The parent installs: nothing of ours may come along, nor our tests be built.
check_meson_subproject() {
    local folder=build/check/meson-subproject
    copy_tree $folder/subprojects/qbipc
    cp $consumers/meson/meson.build $consumers/consumer.cpp $folder
    CXX=$GXX meson setup $folder/build $folder
    meson compile -C $folder/build
    $folder/build/consumer
    DESTDIR=$PWD/$folder/root meson install -C $folder/build
    [ "$(find $folder/root -type f -printf '%f\n')" = consumer ]
    [ ! -e $folder/build/subprojects/qbipc/tests ]
}

check_cmake_installed() {
    installed_tree
    build_with_cmake $consumers/cmake build/check/cmake-installed "-DCMAKE_PREFIX_PATH=$PWD/build/check/installed"
    # The same package, installed by CMake.
    local made=build/check/cmake-made
    fresh $made
    cmake -S . -B $made/build -DCMAKE_INSTALL_PREFIX="$PWD/$made/prefix"
    cmake --install $made/build
    build_with_cmake $consumers/cmake build/check/cmake-of-cmake "-DCMAKE_PREFIX_PATH=$PWD/$made/prefix"
}

check_pkg_config() {
    installed_tree
    local prefix=$PWD/build/check/installed
    export PKG_CONFIG_PATH=$prefix/share/pkgconfig
    $GXX -std=c++20 $consumers/consumer.cpp -o build/check/pkg-config-consumer \
        $(pkg-config --define-prefix --cflags --libs qbipc)
    build/check/pkg-config-consumer
}

check_cmake_fetchcontent() { build_with_cmake $consumers/fetchcontent build/check/cmake-fetchcontent; }

# Offline: Boost and tl-expected are the system's, and no remote is asked.
check_conan() {
    local folder=$PWD/build/check/conan boost
    if [ ! -x build/conan/bin/conan ]; then
        python3 -m venv build/conan
        build/conan/bin/pip install --quiet 'conan>=2,<3'
    fi
    boost=$(sed -n 's/^#define BOOST_LIB_VERSION "\(.*\)"/\1/p' /usr/include/boost/version.hpp | tr _ .).0
    copy_tree "$folder/source"
    export CONAN_HOME=$folder/home
    cat >"$folder/profile" <<END
[settings]
os=Linux
arch=$(uname -m | sed 's/aarch64/armv8/')
compiler=gcc
compiler.version=$($GXX -dumpversion | cut -d. -f1)
compiler.libcxx=libstdc++11
compiler.cppstd=20
build_type=Release
[platform_requires]
boost/$boost
tl-expected/1.0.0
[platform_tool_requires]
cmake/$(cmake --version | sed -n 's/^cmake version //p')
[conf]
tools.cmake.cmaketoolchain:generator=Ninja
tools.build:compiler_executables={"cpp": "$GXX"}
END
    build/conan/bin/conan remote disable '*'
    build/conan/bin/conan create "$folder/source" -pr:a "$folder/profile" --build=missing
    build/conan/bin/conan --version | sed 's/^Conan version/note: with Conan/'
}

check_vcpkg() {
    local folder=$PWD/build/check/vcpkg
    fresh "$folder"
    cmake -DPREFIX="$folder/packages" -DWORK="$folder/work" -P packaging/vcpkg/run_portfile.cmake
    build_with_cmake $consumers/cmake build/check/vcpkg/consumer "-DCMAKE_PREFIX_PATH=$folder/packages"
    if command -v vcpkg >/dev/null; then
        vcpkg install qbipc --overlay-ports=packaging/vcpkg/ports --x-install-root="$folder/installed"
    else
        echo "note: the portfile was run by packaging/vcpkg/run_portfile.cmake; vcpkg itself can't be had here and was not run"
    fi
}
