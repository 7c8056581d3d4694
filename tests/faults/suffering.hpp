// SPDX-License-Identifier: BSL-1.0
// suffering.hpp: whose faults they are, and of what kind: what a life (life.hpp) asks of the fault that it is put
// through.
#pragma once

#include <string>
#include <system_error>

namespace faults {

/// The thread that the fault happens to, and when.
enum class Sufferer {
    listening,  ///< the service's thread, from before listen() to the end of its destruction
    serving,    ///< the service's thread, once another client is connected
    client,     ///< the client's thread, within the library
};

/// One planned fault. All but failed() is called in the thread that suffers.
class Suffering {
public:
    Suffering() = default;
    Suffering(const Suffering&) = delete;
    Suffering& operator=(const Suffering&) = delete;
    virtual ~Suffering() = default;

    virtual void plan() = 0;   ///< counts from here, between begin() and end()
    virtual void begin() = 0;  ///< nested
    virtual void end() = 0;
    /// Forgets the plan. True: the fault happened.
    virtual bool over() = 0;
    /// Whether a function that was called may give this error on account of the fault.
    virtual bool explains(std::error_code error) const = 0;
    virtual std::string text() const = 0;
};

class Within {
public:
    explicit Within(Suffering& fault) : fault_(fault) { fault_.begin(); }
    Within(const Within&) = delete;
    Within& operator=(const Within&) = delete;
    ~Within() { fault_.end(); }

private:
    Suffering& fault_;
};

}  // namespace faults
