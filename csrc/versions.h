// Tracks changes of parameters other than by the step that trains them; the step's own changes are reported to
// autograd.
#pragma once

#include <vector>

#include "step.h"

namespace stackae {

class Versions {
 public:
  // True for parameters that were changed since the last call of either function; at first for all.
  bool changed(const std::vector<DenseLayer>& layers) { return note(layers, false); }
  void moved(const std::vector<DenseLayer>& layers) { note(layers, true); }

 private:
  bool note(const std::vector<DenseLayer>& layers, bool moved) {
    bool changed = seen_.empty();
    size_t next = 0;
    for (const auto& layer : layers)
      for (const auto& parameter : {layer.weight, layer.bias}) {
        if (!parameter.defined()) continue;
        if (moved) parameter.unsafeGetTensorImpl()->bump_version();
        const uint32_t version = parameter._version();
        if (next == seen_.size()) seen_.push_back(version + 1);
        changed = changed || seen_[next] != version;
        seen_[next++] = version;
      }
    return changed;
  }

  std::vector<uint32_t> seen_;
};

}  // namespace stackae
