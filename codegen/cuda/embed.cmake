# cmake -DOUT=texts.c -P embed.cmake FILE.cuh …: writes each file as an array of bytes, cuda_text_FILE, with
# a #line in front that names it.
set(all "#include \"codegen/cuda/texts.h\"\n")
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  set(argument "${CMAKE_ARGV${i}}")
  if(argument MATCHES "\\.cuh$")
    get_filename_component(name "${argument}" NAME_WE)
    file(READ "${argument}" bytes HEX)
    string(HEX "#line 1 \"${name}.cuh\"\n" directive)
    string(PREPEND bytes ${directive})
    string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
    string(REGEX REPLACE "('.x0a',)" "\\1\n" bytes "${bytes}") # a line each
    string(APPEND all "const char cuda_text_${name}[] = {\n${bytes}0};\n")
  endif()
endforeach()
file(WRITE "${OUT}" "${all}")
