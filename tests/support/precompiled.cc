// The one source of the library whose headers all tests share (common/cmake/BitnetdTargets.cmake).
