// How much of the machine other processes took while something was measured: figures of a busy
// machine are not worth comparing.
#pragma once

namespace bitnetd::bench {

class OtherLoad {
  public:
    OtherLoad();  // begins to watch

    // Of all cores' time since then, what went to others: other processes, and other machines on
    // the same hardware; 0 to 1.
    double share() const;

  private:
    struct Seconds {
        double all = 0;   // busy or not, of all cores
        double busy = 0;  // of all cores
        double own = 0;   // of this process
    };
    static Seconds now();

    Seconds start_;
};

}  // namespace bitnetd::bench
