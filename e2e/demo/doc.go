// Package demo tells the whole story once, on a real control plane with a simulated cloud: machines are bought for two published
// applications, the applications are rightsized in place, the machines consolidated, one of them is taken back by the spot market,
// and a batch comes and goes. It ends with a table of what each step cost and with invariants, which make it the end-to-end test.
//
// It installs the applications (package apps), starts the components as child processes (package sandbox), watches (package
// observe) and judges. It never does the components' work for them.
package demo
