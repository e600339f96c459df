// A library of the system that is loaded when it is first needed, because loading it (and the
// dozens that it brings along) costs more than many commands take. Any thread. A library that is
// not there is a broken installation: a sentence, and the program ends.
#pragma once

namespace berth {

class SharedLibrary {
 public:
  // "libcurl.so.4"; `package` is what Debian calls it, for the sentence. Never unloaded.
  SharedLibrary(const char* name, const char* package);

  template <class Function>
  void bind(Function*& function, const char* symbol) const {
    function = reinterpret_cast<Function*>(find(symbol));
  }

 private:
  void* find(const char* symbol) const;

  const char* name_;
  const char* package_;
  void* handle_;
};

}  // namespace berth
