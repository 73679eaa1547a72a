// Package migrate turns the objects of other autoscalers into ours.
//
// It decides what each of their settings is called here and says, for each that has no counterpart, what becomes of it. It reads and
// writes nothing: what it returns is to be looked at before it is applied. Everything it makes starts in Preview unless asked otherwise.
package migrate
