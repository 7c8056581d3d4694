# SPDX-License-Identifier: BSL-1.0
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout
from conan.tools.scm import Version

required_conan_version = ">=2.0"


class QbipcConan(ConanFile):
    name = "qbipc"
    description = "IPC between processes of one machine, over shared memory or Unix sockets"
    license = "BSL-1.0"
    topics = ("ipc", "shared-memory", "unix-socket", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"force_filesystem_sockets": ["ANY"]}
    default_options = {"force_filesystem_sockets": "/etc/libqb/force-filesystem-sockets", "boost/*:header_only": True}
    exports_sources = "include/*", "LICENSE"
    exports = "meson.build"
    no_copy_source = True

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, "meson.build"))
        self.version = re.search(r"^ +version: '([0-9.]+)'", text, re.M).group(1)

    def layout(self):
        basic_layout(self)

    def requirements(self):
        self.requires("boost/[>=1.74 <2]", transitive_headers=True)
        self.requires("tl-expected/[>=1.0 <2]", transitive_headers=True)

    def package_id(self):
        self.info.clear()

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("qbipc is for Linux")
        check_min_cppstd(self, 20)
        floor = {"gcc": "12", "clang": "14"}.get(str(self.settings.compiler))
        if floor and Version(self.settings.compiler.version) < floor:
            raise ConanInvalidConfiguration(f"qbipc needs {self.settings.compiler} {floor} or later")

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        self.cpp_info.system_libs = ["pthread"]
        self.cpp_info.set_property("cmake_file_name", "qbipc")
        self.cpp_info.set_property("cmake_target_name", "qbipc::qbipc")
        self.cpp_info.set_property("pkg_config_name", "qbipc")
        path = str(self.options.force_filesystem_sockets)
        if path != "/etc/libqb/force-filesystem-sockets":
            self.cpp_info.defines = [f'QBIPC_FORCE_FILESYSTEM_SOCKETS="{path}"']
