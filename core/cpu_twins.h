// The namespaces lamina::cpu::SET of what is compiled once for each instruction set, and which of them is
// used. What is outside of them in those files is seen by them alone (cmake/instruction_sets.cmake).
#pragma once

// The narrowest first.
#ifdef LAMINA_ONE_INSTRUCTION_SET  // the name of LAMINA_ARCH's
#define LAMINA_INSTRUCTION_SETS(each) each(only)
#else
#define LAMINA_INSTRUCTION_SETS(each) each(generic) each(v3) each(v4)
#endif

namespace lamina {

class Backend;

namespace cpu {

#define LAMINA_ENUMERATOR(set) set,
enum class InstructionSet { LAMINA_INSTRUCTION_SETS(LAMINA_ENUMERATOR) };
#undef LAMINA_ENUMERATOR

// Throws UsageError as instruction_set() does.
InstructionSet chosen_instruction_set();

#define LAMINA_DECLARE_BACKEND(set) \
  namespace set {                   \
  Backend& backend();               \
  }
LAMINA_INSTRUCTION_SETS(LAMINA_DECLARE_BACKEND)
#undef LAMINA_DECLARE_BACKEND

}  // namespace cpu
}  // namespace lamina
