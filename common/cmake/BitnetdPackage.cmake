# The Debian package: what is installed where, and how cpack makes a .deb of it (`./dev package`).
# The files themselves and what dpkg runs are in systemd/.
#
# Configure with -DBITNETD_PACKAGE_RELEASE=2 (or cpack -D CPACK_DEBIAN_PACKAGE_RELEASE=2) for another
# package of the same sources.

if(CMAKE_CROSSCOMPILING)
    return()
endif()

set(BITNETD_PACKAGE_RELEASE 1 CACHE STRING "Debian revision of the package")
set(BITNETD_PACKAGE_MAINTAINER "bitnetd maintainers <maintainers@bitnetd.example>" CACHE STRING
    "who answers for the package: NAME <ADDRESS>")
set(package_dir ${CMAKE_BINARY_DIR}/package)
set(systemd_dir ${CMAKE_SOURCE_DIR}/systemd)

# `cmake --install` and cpack take what is there, instead of building all tests first.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)
set(CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
    GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME bitnetd)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DIRECTORY ${package_dir})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS ${CMAKE_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS})
set(CPACK_THREADS 0)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_DEBIAN_PACKAGE_RELEASE ${BITNETD_PACKAGE_RELEASE})
set(CPACK_DEBIAN_PACKAGE_MAINTAINER ${BITNETD_PACKAGE_MAINTAINER})
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"Serves 1-bit (BitNet b1.58) and Llama-family language models over the OpenAI
API. It is several small processes: a worker can die at any instruction and no
client notices; models, settings and the programs themselves are replaced while
they serve.")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# For the user and the folders; in a container without systemd the two small packages do.
set(CPACK_DEBIAN_PACKAGE_DEPENDS 
    "init-system-helpers (>= 1.52), systemd | systemd-sysusers, systemd | systemd-tmpfiles")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
foreach(name conffiles postinst prerm postrm)
    list(APPEND CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${systemd_dir}/debian/${name})
endforeach()

# --- programs ------------------------------------------------------------------------------------
set(on_path bitnetd bitnetctl bitnet-shmdump)
install(TARGETS ${on_path} bitnetd-frontend bitnetd-worker bitnetd-loader DESTINATION lib/bitnetd)
if(TARGET bitnetd-worker-cuda)  # where it was built; CUDA's runtime is part of it
    install(TARGETS bitnetd-worker-cuda DESTINATION lib/bitnetd OPTIONAL)
endif()
install(PROGRAMS ${systemd_dir}/end-leftovers DESTINATION lib/bitnetd)
foreach(program ${on_path})
    set(link ${package_dir}/bin/${program})
    file(MAKE_DIRECTORY ${package_dir}/bin)
    file(CREATE_LINK ../lib/bitnetd/${program} ${link} SYMBOLIC)
    install(FILES ${link} DESTINATION bin)
endforeach()

# --- units ---------------------------------------------------------------------------------------
# bitnetd_service(FILE NAME CONFIG TITLE WHAT): NAME is of its folders in /run and /var/lib.
function(bitnetd_service file NAME CONFIG TITLE WHAT)
    configure_file(${systemd_dir}/bitnetd.service.in ${package_dir}/units/${file} @ONLY)
endfunction()
bitnetd_service(bitnetd.service bitnetd bitnetd ""
    "bitnetd as the service of this machine. Further ones beside it: bitnetd@NAME.service.")
bitnetd_service(bitnetd@.service bitnetd-%i %i " %i"
    "bitnetd@NAME.service: one more bitnetd, with /etc/bitnetd/NAME.toml, which names another address.")
install(FILES ${package_dir}/units/bitnetd.service ${package_dir}/units/bitnetd@.service
    ${systemd_dir}/bitnetd.socket ${systemd_dir}/bitnetd@.socket ${systemd_dir}/bitnetd.slice
    DESTINATION /lib/systemd/system)
install(FILES ${systemd_dir}/bitnetd.sysusers DESTINATION lib/sysusers.d RENAME bitnetd.conf)
install(FILES ${systemd_dir}/bitnetd.tmpfiles DESTINATION lib/tmpfiles.d RENAME bitnetd.conf)
install(FILES ${systemd_dir}/bitnetd.toml DESTINATION /etc/bitnetd)

# --- documentation -------------------------------------------------------------------------------
# bitnetd_compressed(DESTINATION FILE): as Debian wants it, without the time in it.
function(bitnetd_compressed destination file)
    get_filename_component(name ${file} NAME)
    install(CODE "execute_process(COMMAND gzip -9nc \"${file}\"
        OUTPUT_FILE \"${package_dir}/${name}.gz\" COMMAND_ERROR_IS_FATAL ANY)")
    install(FILES ${package_dir}/${name}.gz DESTINATION ${destination})
endfunction()
string(TIMESTAMP BITNETD_CHANGELOG_DATE "%a, %d %b %Y %H:%M:%S +0000" UTC)
configure_file(${systemd_dir}/debian/changelog.in ${package_dir}/changelog.Debian @ONLY)
bitnetd_compressed(share/doc/bitnetd ${package_dir}/changelog.Debian)
install(FILES ${systemd_dir}/debian/copyright DESTINATION share/doc/bitnetd)
install(FILES ${CMAKE_SOURCE_DIR}/README.md DESTINATION share/doc/bitnetd)
if(TARGET manual)
    set(docs_dir ${CMAKE_BINARY_DIR}/docs)
    bitnetd_compressed(share/man/man8 ${docs_dir}/bitnetd.8)
    bitnetd_compressed(share/man/man5 ${docs_dir}/bitnetd.toml.5)
    bitnetd_compressed(share/man/man1 ${docs_dir}/bitnetctl.1)
    bitnetd_compressed(share/man/man1 ${docs_dir}/bitnet-shmdump.1)
    install(FILES ${docs_dir}/bitnetd.toml DESTINATION share/doc/bitnetd/examples)
    foreach(program bitnetd bitnetctl)
        install(FILES ${docs_dir}/${program}.bash
            DESTINATION share/bash-completion/completions RENAME ${program})
    endforeach()
endif()

# --- tests: they run cpack on this build directory, see tests/package/ ----------------------------
if(NOT BITNETD_SANITIZE)
    foreach(test deb boot image)
        add_test(NAME package/${test}
            COMMAND python3 ${CMAKE_SOURCE_DIR}/tests/package/${test}_test.py ${CMAKE_BINARY_DIR})
        set_tests_properties(package/${test} PROPERTIES LABELS package TIMEOUT 1200
            SKIP_RETURN_CODE 77 RUN_SERIAL ON)
    endforeach()
endif()

include(CPack)
