// Package admission gives new pods what their recommendation says, by a mutating webhook whose absence blocks nobody, and keeps that
// webhook alive: its certificate, its registration, and the proof that the API server really calls it.
//
// What a pod is to have is decided by recommender/policy. A pod that cannot be judged is admitted as it is.
package admission
