// Package sandbox starts a whole world for tests, scenarios and the demo: a real control plane, a simulated cloud and its
// machines in one child process (supercargo-sandbox), and Supercargo's own components in one child process each, with the
// ServiceAccounts and roles they have in a real installation.
//
// It decides how those processes are started, watched and stopped; children die with the process that started them. What
// happens in the world is left to the scenario. The world itself is put together by package inprocess.
package sandbox
