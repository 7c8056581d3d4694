# SPDX-License-Identifier: BSL-1.0
# Runs the port without vcpkg, whose tool is no Debian package: the vcpkg_* functions that the portfile calls are written
# here as their documentation describes them. What this can't show: the version resolution and vcpkg's own post-build checks.
#     cmake -DPREFIX=/tmp/packages -DWORK=/tmp/work -P run_portfile.cmake
set(PORT qbipc)
set(CURRENT_PORT_DIR "${CMAKE_CURRENT_LIST_DIR}/ports/qbipc")
set(CURRENT_PACKAGES_DIR "${PREFIX}")
set(CURRENT_BUILDTREES_DIR "${WORK}")

function(run)
    execute_process(COMMAND ${ARGV} RESULT_VARIABLE status)
    if(NOT status EQUAL 0)
        message(FATAL_ERROR "failed: ${ARGV}")
    endif()
endfunction()

function(vcpkg_cmake_configure)
    cmake_parse_arguments(arg "" "SOURCE_PATH" "OPTIONS" ${ARGN})
    run(${CMAKE_COMMAND} -S "${arg_SOURCE_PATH}" -B "${CURRENT_BUILDTREES_DIR}" -DCMAKE_BUILD_TYPE=Release
        "-DCMAKE_INSTALL_PREFIX=${CURRENT_PACKAGES_DIR}" ${arg_OPTIONS})
endfunction()

function(vcpkg_cmake_install)
    run(${CMAKE_COMMAND} --build "${CURRENT_BUILDTREES_DIR}" --target install)
endfunction()

# Moves the package from CONFIG_PATH to share/PORT and rewrites the prefix that is computed from its old depth.
function(vcpkg_cmake_config_fixup)
    cmake_parse_arguments(arg "" "CONFIG_PATH" "" ${ARGN})
    file(GLOB files "${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH}/*.cmake")
    foreach(file IN LISTS files)
        get_filename_component(name "${file}" NAME)
        file(READ "${file}" text)
        string(REGEX REPLACE [[(PACKAGE_PREFIX_DIR "\${CMAKE_CURRENT_LIST_DIR}/)\.\.(/\.\.)*" ABSOLUTE]]
            [[\1../../" ABSOLUTE]] text "${text}")
        file(WRITE "${CURRENT_PACKAGES_DIR}/share/${PORT}/${name}" "${text}")
    endforeach()
    file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/${arg_CONFIG_PATH}")
endfunction()

function(vcpkg_install_copyright)
    cmake_parse_arguments(arg "" "" "FILE_LIST" ${ARGN})
    configure_file("${arg_FILE_LIST}" "${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright" COPYONLY)
endfunction()

include("${CURRENT_PORT_DIR}/portfile.cmake")

foreach(expected share/qbipc/copyright share/qbipc/usage share/qbipc/qbipcConfig.cmake include/qbipc/version.hpp)
    if(NOT EXISTS "${CURRENT_PACKAGES_DIR}/${expected}")
        message(FATAL_ERROR "the port does not install ${expected}")
    endif()
endforeach()
foreach(unexpected lib share/cmake share/licenses)
    if(EXISTS "${CURRENT_PACKAGES_DIR}/${unexpected}")
        message(FATAL_ERROR "the port leaves ${unexpected}, which vcpkg's checks refuse")
    endif()
endforeach()
